//! The value of a block is checked where it stands.

async fn read() -> std::io::Result<u32> {
    let number: u32 = trio::shield!({ Some(5) });
    let text: String = trio::nursery! { |_n| std::fs::read("a file")?.len() };
    Ok(number + text.len() as u32)
}

fn main() {
    let _ = trio::run(read());
}
