//! A label has to exist, also behind two macros.

fn main() {
    trio::run(async {
        loop {
            trio::nursery! { |_n|
                trio::shield!({ break 'elsewhere });
            };
        }
    });
}
