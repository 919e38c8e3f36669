//! A task handle can't be the value of the nursery's block.

fn main() {
    trio::run(async {
        let handle = trio::nursery! { |n| n.spawn(async { 1 }) };
        handle.join().await.unwrap();
    });
}
