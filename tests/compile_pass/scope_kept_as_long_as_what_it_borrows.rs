//! The twin of `scope_stored_outside`; and a cancel handle, which borrows nothing, may be kept for ever.

async fn read(text: &str) -> usize {
    trio::checkpoint().await;
    text.len()
}

fn main() {
    trio::run(async {
        let text = String::from("here");
        let scope = trio::CancelScope::new();
        let handle = scope.handle();
        let kept = scope.run(read(&text));
        assert_eq!(kept.await, Some(4));
        handle.cancel();
    });
}
