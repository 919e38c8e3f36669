//! A task whose value nobody gets is a mistake; the message says how to get it.

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            n.start_soon(async { 5 });
        };
    });
}
