//! The twins of `nursery_stored_outside`, `nursery_returned`, `named_stored_outside`, `task_handle_stored_outside`
//! and `task_handle_returned`: what a task gives leaves its nursery, the handles stay.

async fn number(number: u32) -> u32 {
    trio::checkpoint().await;
    number
}

fn main() {
    trio::run(async {
        let mut kept = None;
        let sum = trio::nursery! { |n|
            let one = n.spawn(number(1));
            let two = n.named("two").spawn(number(2));
            kept = two.join().await.ok();
            one.join().await.unwrap() + 10
        };
        assert_eq!((sum, kept), (11, Some(2)));
    });
}
