//! The most common of all, while a body is being typed.

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            n.
        };
    });
}
