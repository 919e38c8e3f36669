//! An exit that another macro hides can't be carried out of the block.

macro_rules! give_up {
    () => {
        return 5
    };
}

async fn number() -> u32 {
    trio::nursery! { |_n|
        if true {
            give_up!();
        }
    };
    6
}

fn main() {
    trio::run(number());
}
