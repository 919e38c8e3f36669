//! The output has to be one that a program can end with; the type is what is pointed at.

#[trio::main]
async fn main() -> u32 {
    7
}
