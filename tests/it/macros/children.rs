//! What becomes of a nursery's children when its body is left early.

use std::cell::{Cell, RefCell};

use super::{HOUR, Oops, check, drive, non_zero};

/// Takes a few steps, then says that it has ended.
async fn few_steps(ended: &Cell<u32>) {
    for _ in 0..4 {
        trio::checkpoint().await;
    }
    ended.set(ended.get() + 1);
}

/// Says that it was dropped without having ended.
struct Dropped<'a>(&'a Cell<u32>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 100);
    }
}

async fn forever(dropped: &Cell<u32>) {
    let _guard = Dropped(dropped);
    trio::sleep(HOUR).await;
}

#[test]
fn return_waits_for_the_children() {
    async fn run(ended: &Cell<u32>) -> &'static str {
        trio::nursery! { |n|
            n.start_soon(few_steps(ended));
            return "returned";
        }
    }
    let ended = Cell::new(0);
    assert_eq!(drive(run(&ended)), "returned");
    assert_eq!(ended.get(), 1);
}

#[test]
fn break_and_continue_wait_for_the_children() {
    let ended = Cell::new(0);
    drive(async {
        for turn in 0..9 {
            trio::nursery! { |n|
                n.start_soon(few_steps(&ended));
                if turn == 2 {
                    break;
                }
                continue;
            };
        }
    });
    assert_eq!(ended.get(), 3);
}

#[test]
fn a_failed_question_mark_cancels_the_children() {
    async fn run(ended: &Cell<u32>) -> Result<(), Oops> {
        trio::nursery! { |n|
            n.start_soon(forever(ended));
            trio::checkpoint().await;
            check(5)?;
        };
        Ok(())
    }
    let ended = Cell::new(0);
    assert_eq!(drive(run(&ended)), Err(Oops(5)));
    assert_eq!(ended.get(), 100);
}

#[test]
fn a_none_cancels_the_children() {
    async fn run(ended: &Cell<u32>) -> Option<()> {
        trio::nursery! { |n|
            n.start_soon(forever(ended));
            trio::checkpoint().await;
            non_zero(0)?;
        };
        Some(())
    }
    let ended = Cell::new(0);
    assert_eq!(drive(run(&ended)), None);
    assert_eq!(ended.get(), 100);
}

#[test]
fn a_question_mark_through_an_inner_block_cancels_the_outer_ones_children() {
    async fn run(ended: &Cell<u32>) -> Result<(), Oops> {
        trio::nursery! { |n|
            n.start_soon(forever(ended));
            trio::checkpoint().await;
            trio::shield!({
                trio::cancel_scope! { |_scope| check(8)?; };
            });
        };
        Ok(())
    }
    let ended = Cell::new(0);
    assert_eq!(drive(run(&ended)), Err(Oops(8)));
    assert_eq!(ended.get(), 100);
}

#[test]
fn a_return_through_an_inner_block_waits_for_the_outer_ones_children() {
    async fn run(ended: &Cell<u32>) -> u32 {
        trio::nursery! { |n|
            n.start_soon(few_steps(ended));
            trio::nursery! { |inner|
                inner.start_soon(few_steps(ended));
                return 1;
            }
        }
    }
    let ended = Cell::new(0);
    assert_eq!(drive(run(&ended)), 1);
    assert_eq!(ended.get(), 2);
}

#[test]
fn a_question_mark_in_try_nursery_goes_to_the_group() {
    async fn run(ended: &Cell<u32>) -> Vec<String> {
        let outcome = trio::try_nursery! { |n|
            n.start_soon(async {
                forever(ended).await;
                Ok::<(), Oops>(())
            });
            trio::checkpoint().await;
            check(6)?;
            "not reached"
        };
        outcome.unwrap_err().into_errors().map(|error| error.to_string()).collect()
    }
    let ended = Cell::new(0);
    assert_eq!(drive(run(&ended)), ["oops 6"]);
    assert_eq!(ended.get(), 100);
}

#[test]
fn an_error_is_never_lost_to_a_jump() {
    async fn fails() -> Result<(), Oops> {
        trio::checkpoint().await;
        Err(Oops(4))
    }
    async fn run() -> String {
        let outcome: Result<(), _> = trio::try_nursery! { |n|
            n.start_soon(fails());
            return String::from("returned");
        };
        outcome.unwrap_err().first().to_string()
    }
    assert_eq!(drive(run()), "oops 4");
}

#[test]
fn children_borrow_what_is_declared_before_the_nursery() {
    async fn push(list: &RefCell<Vec<u32>>, number: u32) {
        trio::checkpoint().await;
        list.borrow_mut().push(number);
    }
    async fn double(number: &mut u32) {
        trio::checkpoint().await;
        *number *= 2;
    }
    let list = RefCell::new(Vec::new());
    let (mut one, mut two) = (1, 2);
    drive(async {
        trio::nursery! { |n|
            for number in 0..3 {
                n.start_soon(push(&list, number));
            }
            n.start_soon(double(&mut one));
            n.start_soon(double(&mut two));
        };
        one += two;
    });
    let mut list = list.into_inner();
    list.sort_unstable();
    assert_eq!((list, one), (vec![0, 1, 2], 6));
}

#[test]
fn a_move_block_owns_what_it_uses() {
    let text = String::from("owned");
    let length = drive(async {
        trio::nursery! { move |n|
            n.start_soon(trio::checkpoint());
            text.len()
        }
    });
    assert_eq!(length, 5);
}

#[test]
fn inline_tasks_need_no_annotation() {
    async fn run(how: u32) -> Vec<String> {
        let outcome = trio::try_nursery! { |n|
            n.start_soon(async {
                check(how)?;
                Ok(())
            });
            n.named("a name").start_soon(async move {
                let text: u32 = "5".parse()?;
                assert_eq!(text, 5);
                Ok(())
            });
            n.start_daemon(async {
                trio::sleep(HOUR).await;
                Ok(())
            });
            let handle = n.try_spawn(async {
                trio::shield!({ check(0)?; });
                Ok("the handle's")
            });
            n.start_soon(async {});
            n.start_soon(async {
                let lengths = ["a", "b"].iter().map(|text| text.chars().next());
                assert!(lengths.map(|first| Some(first? == 'a')).all(|known| known.is_some()));
            });
            n.start_soon(async { Ok::<_, Oops>(()) });
            n.start_soon(async { if how == 77 { Err("a text")? } Ok(()) });
            n.start_soon(async { if how == 79 { return Err("a text".into()); } Ok(()) });
            n.start_soon(async { if how == 78 { Err("a text") } else { Ok(()) } });
            assert_eq!(handle.join().await.ok(), Some("the handle's"));
        };
        match outcome {
            Ok(()) => Vec::new(),
            Err(group) => group.into_errors().map(|error| error.to_string()).collect(),
        }
    }
    assert_eq!(drive(run(0)), [""; 0]);
    assert_eq!(drive(run(3)), ["oops 3"]);
}

#[test]
fn inline_tasks_of_an_outer_nursery_are_typed_by_it() {
    async fn run() -> Result<(), Vec<Oops>> {
        let outcome = trio::try_nursery! { |outer| -> Result<_, Oops>
            trio::nursery! { |inner|
                inner.start_soon(async {
                    outer.start_soon(async { check(0)?; Ok(()) });
                });
            };
            let text = trio::try_nursery! { |outer|
                outer.start_soon(async { let _: u32 = "six".parse()?; Ok(()) });
            };
            assert!(text.is_err());
            outer.start_soon(async { check(2)?; Ok(()) });
        };
        outcome.map_err(|group| group.into_errors().collect())
    }
    assert_eq!(drive(run()), Err(vec![Oops(2)]));
}
