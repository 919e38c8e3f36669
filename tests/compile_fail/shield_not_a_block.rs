//! `shield!` takes a block, without a name; for a future there is a function.

fn main() {
    trio::run(async {
        trio::shield! { |scope| trio::checkpoint().await };
        trio::shield!(move |scope| { trio::checkpoint().await });
        trio::shield!(move trio::checkpoint().await);
        trio::shield!(async move { trio::checkpoint().await });
        trio::shield!(5);
    });
}
