//! Temporary files and folders go, whatever happens.

use std::cell::RefCell;

use trio::fs::{self, NamedTempFile, Path, TempDir};
use trio::{CancelScope, checkpoint};

fn filled(folder: &TempDir) -> Path {
    let path = folder.path();
    std::fs::create_dir_all(path.join("a/b")).unwrap();
    std::fs::write(path.join("a/b/c"), "text").unwrap();
    path
}

#[test]
fn a_run_waits_for_the_removal_of_what_it_dropped() {
    let path = trio::run(async {
        let folder = TempDir::new().await.unwrap();
        filled(&folder)
    });
    assert!(!path.as_path().exists());
}

#[test]
fn a_folder_that_outlives_its_run_goes_with_its_handle() {
    let folder = trio::run(TempDir::new()).unwrap();
    let path = filled(&folder);
    assert!(path.as_path().is_dir());
    drop(folder);
    assert!(!path.as_path().exists());
}

#[test]
fn a_cancelled_task_s_folder_goes_too() {
    let path = RefCell::new(None);
    trio::run(async {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let body = async {
            let folder = TempDir::new().await.unwrap();
            path.replace(Some(filled(&folder)));
            handle.cancel();
            checkpoint().await;
        };
        assert!(scope.run(body).await.is_none());
    });
    assert!(!path.take().unwrap().as_path().exists());
}

#[trio::test]
async fn a_cancelled_close_removes() {
    let folder = TempDir::new().await.unwrap();
    let path = filled(&folder);
    let scope = CancelScope::new();
    scope.handle().cancel();
    assert!(scope.run(folder.aclose()).await.is_none());
    assert!(!path.exists().await.unwrap());

    let file = NamedTempFile::new().await.unwrap();
    let path = file.path();
    let scope = CancelScope::new();
    scope.handle().cancel();
    assert!(scope.run(file.aclose()).await.is_none());
    assert!(!path.exists().await.unwrap());
}

#[trio::test]
async fn what_is_kept_stays() {
    let outer = TempDir::new().await.unwrap();
    let folder = TempDir::new_in(outer.path()).await.unwrap();
    let kept = folder.keep();
    assert_eq!(kept.parent().unwrap(), outer.path());
    assert!(kept.is_dir().await.unwrap());

    let mut file = NamedTempFile::new_in(&kept).await.unwrap();
    file.file_mut().write_all(b"one").await.unwrap();
    let (temporary, target) = (file.path(), &kept / "target");
    target.write("old").await.unwrap();
    let mut open = file.persist(&target).await.unwrap();
    open.write_all(b" two").await.unwrap();
    assert_eq!(fs::read(&target).await.unwrap(), b"one two");
    assert!(!temporary.exists().await.unwrap());

    let (_open, path) = NamedTempFile::new_in(&kept).await.unwrap().keep().await.unwrap();
    assert!(path.is_file().await.unwrap());
    let dropped = NamedTempFile::new_in(&kept).await.unwrap();
    let path = dropped.path();
    assert!(path.is_file().await.unwrap());
    drop(dropped);
    assert!(!path.exists().await.unwrap());
}
