//! What is an integer, but none that the option takes.

#[trio::main(seed = -1)]
async fn negative() {}

#[trio::main(seed(7))]
async fn in_parentheses() {}

#[trio::main(seed: 7)]
async fn with_a_colon() {}

#[trio::test(schedules = 0)]
async fn never_run() {}

#[trio::main(seed = 7 ctrl_c = "ignore")]
async fn main() {}
