//! A scope that runs can't be kept beyond what it borrows.

async fn read(text: &str) -> usize {
    trio::checkpoint().await;
    text.len()
}

fn main() {
    trio::run(async {
        let kept;
        {
            let text = String::from("gone");
            kept = trio::CancelScope::new().run(read(&text));
        }
        kept.await.unwrap();
    });
}
