//! What the tests of trio share: nothing of it is published.
