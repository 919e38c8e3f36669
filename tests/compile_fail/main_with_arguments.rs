//! The main task takes no arguments; nothing else is reported.

#[trio::main]
async fn main(name: &str, times: u32) {
    println!("{name} {times}");
}
