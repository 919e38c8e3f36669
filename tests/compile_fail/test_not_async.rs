//! A test has to be `async`.

#[trio::test]
fn a_test() {}

fn main() {}
