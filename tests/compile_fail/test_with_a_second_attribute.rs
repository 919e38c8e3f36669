//! `#[trio::test]` is all it takes.

#[trio::test]
#[test]
async fn a_test() {}

fn main() {}
