//! The twins of the four `…_sent_to_a_thread`: a thread borrows or owns plain values. That the four types stay on
//! their thread is checked here as well: the calls would be ambiguous if they could leave it.

trait Stays<Proof> {
    fn stays() {}
}

impl<T: ?Sized> Stays<()> for T {}
impl<T: ?Sized + Send> Stays<u8> for T {}

fn main() {
    <trio::Nursery<'_, '_> as Stays<_>>::stays();
    <&trio::Nursery<'_, '_> as Stays<_>>::stays();
    <trio::TaskHandle<'_, u32> as Stays<_>>::stays();
    <&trio::TaskHandle<'_, u32> as Stays<_>>::stays();
    <trio::TaskStatus<u32> as Stays<_>>::stays();
    <trio::CancelHandle as Stays<_>>::stays();
    <&trio::CancelHandle as Stays<_>>::stays();
    <trio::CancelScope as Stays<_>>::stays();

    trio::run(async {
        let count = trio::nursery! { |n|
            n.start_soon(trio::checkpoint());
            let count = n.child_count();
            std::thread::scope(|threads| threads.spawn(|| count + 1).join().unwrap())
        };
        assert_eq!(count, 2);
    });
}
