//! Every wrong value is reported at once.

#[trio::main(crate = "trio", seed = 7.5, clock, instruments = , ctrl_c = "stop")]
async fn main() {}
