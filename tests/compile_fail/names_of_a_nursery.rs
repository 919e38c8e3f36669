//! What stands between the bars is one name or two, and what follows `->` a type.

fn main() {
    trio::run(async {
        trio::nursery! { |n, scope: | n.start_soon(trio::checkpoint()); };
        trio::nursery! { |n scope| n.start_soon(trio::checkpoint()); };
        trio::nursery! { |n };
        trio::nursery! { |n, };
        trio::nursery! { |,| trio::checkpoint().await; };
        trio::nursery! { |self| trio::checkpoint().await; };
        trio::nursery! { n => n.start_soon(trio::checkpoint()); };
        trio::nursery! { move n n.start_soon(trio::checkpoint()); };
        let _ = trio::try_nursery! { |n| -> };
        let _ = trio::try_nursery! { |n| -> = };
        trio::cancel_scope! { |scope scope| scope.cancel() };
        trio::cancel_scope! { || trio::checkpoint().await; };
    });
}
