//! `break` and `continue` need a loop, as in any block.

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            n.start_soon(trio::checkpoint());
            break;
        };
        trio::shield!({ continue });
    });
}
