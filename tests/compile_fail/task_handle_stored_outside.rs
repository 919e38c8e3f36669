//! A task handle can't be kept beyond the nursery of its task.

fn main() {
    trio::run(async {
        let mut kept = None;
        trio::nursery! { |n|
            kept = Some(n.spawn(async { 1 }));
        };
        kept.unwrap().join().await.unwrap();
    });
}
