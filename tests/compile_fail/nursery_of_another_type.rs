//! A pattern has to fit what the macro gives: the nursery, or the handle of its scope.

fn main() {
    trio::run(async {
        trio::nursery! { |(a, b)| drop((a, b)); };
    });
}
