//! Unknown, doubled and wrong options, all at once.

#[trio::test(clock = 5, autojump = "yes", schedules = 4294967296, seed = 1, seed = 2)]
async fn a_test() {}

fn main() {}
