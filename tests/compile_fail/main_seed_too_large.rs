//! Wrong in other ways.

#[trio::main(seed = 18446744073709551616, ctrl_c = 7 8, "seed")]
async fn main() {}
