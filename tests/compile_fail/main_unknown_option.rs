//! An unknown option is pointed at, and the known ones are listed.

#[trio::main(threads = 4, seed = 7, flavor = "current_thread")]
async fn main() {}
