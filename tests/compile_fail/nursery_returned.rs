//! A nursery can't be the value of its block.

fn main() {
    trio::run(async {
        let n = trio::nursery! { |n| n };
        n.start_soon(async {});
    });
}
