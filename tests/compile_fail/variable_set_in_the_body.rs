//! A variable from outside has to have a value when the body begins.

fn main() {
    trio::run(async {
        let number;
        trio::shield!({ number = 5; });
        println!("{number}");
    });
}
