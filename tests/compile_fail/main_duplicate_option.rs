//! An option that is given twice.

#[trio::main(seed = 7, ctrl_c = "ignore", seed = 8)]
async fn main() {}
