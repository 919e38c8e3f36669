//! The twins of `child_borrows_from_the_body`, `child_borrows_a_local_of_the_body` and
//! `child_borrows_a_shorter_lived_local`: what is declared before the nursery, or moved into the task.

async fn read(text: &str) {
    trio::checkpoint().await;
    assert!(!text.is_empty());
}

async fn own(text: String) {
    read(&text).await;
}

fn start<'scope>(n: &'scope trio::Nursery<'scope, '_>, text: &'scope str) {
    n.start_soon(read(text));
    let local = String::from("local");
    n.start_soon(own(local));
}

fn main() {
    trio::run(async {
        let text = String::from("before");
        trio::nursery! { |n|
            start(n, &text);
            n.start_soon(read(&text));
            n.start_soon(async { assert_eq!(text, "before") });
            let local = String::from("local");
            n.start_soon(async move { assert_eq!(local, "local") });
        };
    });
}
