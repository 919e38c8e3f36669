//! A group has errors, so a `None` can't go to it.

fn main() {
    trio::run(async {
        let _ = trio::try_nursery! { |_n|
            None::<u32>?
        };
    });
}
