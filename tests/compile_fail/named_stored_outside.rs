//! What `named` gives, by which a task is started under a name, can't be kept beyond the nursery.

fn main() {
    trio::run(async {
        let mut kept = None;
        trio::nursery! { |n|
            kept = Some(n.named("late"));
        };
        kept.unwrap().start_soon(async {});
    });
}
