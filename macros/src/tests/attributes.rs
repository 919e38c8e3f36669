//! `#[trio::main]` and `#[trio::test]`.

use super::*;

fn main(options: &str, item: &str) -> TokenStream {
    entry::main(options.parse().expect("tokens"), item.parse().expect("tokens"))
}

fn test(options: &str, item: &str) -> TokenStream {
    entry::test(options.parse().expect("tokens"), item.parse().expect("tokens"))
}

#[test]
fn main_keeps_the_function() {
    let expansion = main("seed = 7, crate = my::rt", "#[doc = \"x\"] pub async fn go() -> R { a?; Ok(()) }");
    let expected = quote! {
        #[doc = "x"]
        pub fn go() -> ::std::process::ExitCode {
            #[allow(clippy::unused_async)]
            async fn go() -> R { a?; Ok(()) }
            my::rt::__private::run_main(my::rt::__private::MainOptions::new().seed(7), go())
        }
    };
    assert_eq!(flat(expansion), flat(expected));
}

#[test]
fn test_keeps_the_function() {
    let expansion = test("autojump, schedules = 5", "#[ignore] async fn r#try(clock: MockClock) { a }");
    let expected = quote! {
        #[::core::prelude::v1::test]
        #[ignore]
        fn r#try() {
            #[allow(clippy::unused_async)]
            async fn r#try(clock: MockClock) { a }
            ::trio::__private::run_test(
                ::core::concat!(::core::module_path!(), "::", "try"),
                ::trio::__private::TestOptions::new().mock_clock(true).autojump(true).schedules(5),
                |clock| r#try(clock)
            )
        }
    };
    assert_eq!(flat(expansion), flat(expected));
}

#[test]
fn every_mistake_in_the_options_is_found() {
    let found = messages(main("threads = 4, seed = , seed = 8, ctrl_c = \"stop\", 5, crate", "async fn main() {}"));
    let expected = [
        "unknown option `threads`; expected one of `crate`, `clock`, `seed`, `instruments`, `ctrl_c`",
        "option `seed` takes an integer: `seed = 7`",
        "duplicate option `seed`",
        "option `ctrl_c` takes `\"cancel\"` or `\"ignore\"`: `ctrl_c = \"cancel\"`",
        "expected an option: `crate`, `clock`, `seed`, `instruments`, `ctrl_c`",
        "option `crate` needs a value: `crate = my_crate::trio`",
    ];
    assert_eq!(found, expected);
}

#[test]
fn expressions_may_have_commas_of_their_own() {
    let expansion = main("clock = Clock::<A, B>::new(1, 2), instruments = vec![a, b], seed = 1", "async fn main() {}");
    let words = flat(expansion);
    assert!(contains(&words, &flat(quote!(.clock(Clock::<A, B>::new(1, 2)).instruments(vec![a, b]).seed(1)))));
}

#[test]
fn after_a_mistake_the_function_stays_and_nothing_runs() {
    let body = "{ let x = 5; x. }";
    for (options, head) in [
        ("nonsense", "async fn main()"),
        ("", "fn main()"),
        ("", "async fn main(a: u8, b: B)"),
        ("", "async fn main<T>()"),
        ("", "async unsafe fn main()"),
        ("seed = \"x\"", "fn main(x: u8) -> Y"),
    ] {
        for expansion in [main(options, &format!("{head} {body}")), test(options, &format!("{head} {body}"))] {
            let words = flat(expansion.clone());
            assert!(contains(&words, &flat(body.parse().expect("tokens"))), "{head}");
            let allowed = head == "async fn main(a: u8, b: B)" || !messages(expansion).is_empty();
            assert!(allowed, "{head}");
            assert!(!words.iter().any(|word| word.starts_with("run_")), "{head}");
        }
    }
}

#[test]
fn what_is_no_function_is_left_as_it_is() {
    for item in ["struct S;", "", "async", "#[x] mod m { }", "pub async fn"] {
        for expansion in [main("", item), test("", item)] {
            let item: TokenStream = item.parse().expect("tokens");
            assert!(item.is_empty() || contains(&flat(expansion.clone()), &flat(item)));
            assert_eq!(messages(expansion).len(), 1);
        }
    }
}
