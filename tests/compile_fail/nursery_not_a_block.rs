//! The body of a nursery is a block that names it.

async fn task() {}

fn main() {
    trio::run(async {
        trio::nursery!(task());
        trio::nursery! { trio::checkpoint().await; };
        trio::try_nursery!(5);
        trio::cancel_scope! {};
    });
}
