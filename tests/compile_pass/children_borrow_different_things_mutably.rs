//! The twins of `two_children_borrow_mutably` and `borrowed_local_used_in_the_body`: each task borrows its own
//! thing, or all share a cell; and what was borrowed is free again behind the nursery.

use std::cell::Cell;

async fn add(number: &mut u32) {
    trio::checkpoint().await;
    *number += 1;
}

async fn add_shared(number: &Cell<u32>) {
    trio::checkpoint().await;
    number.set(number.get() + 1);
}

fn main() {
    trio::run(async {
        let (mut one, mut two, shared) = (1, 2, Cell::new(0));
        trio::nursery! { |n|
            n.start_soon(add(&mut one));
            n.start_soon(add(&mut two));
            n.start_soon(add_shared(&shared));
            n.start_soon(add_shared(&shared));
            assert_eq!(shared.get(), 0);
        };
        one += 1;
        assert_eq!((one, two, shared.get()), (3, 3, 2));
    });
}
