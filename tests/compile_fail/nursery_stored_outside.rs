//! A nursery can't be kept beyond its block.

fn main() {
    trio::run(async {
        let mut kept = None;
        trio::nursery! { |n|
            kept = Some(n);
        };
        kept.unwrap().start_soon(async {});
    });
}
