//! Folders: listings, walks and patterns.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::pin::pin;

use trio::fs::{self, Path, TempDir};

#[trio::test]
async fn a_listing_is_complete_and_stays_as_it_was() {
    let folder = TempDir::new().await.unwrap();
    for number in 0..3000 {
        std::fs::write(folder.path().join(number.to_string()), "").unwrap();
    }
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    let listing = fs::read_dir(folder.path()).await.unwrap();
    assert_eq!(listing.len(), 3001);
    folder.path().join("7").remove_file().await.unwrap();
    let mut names = BTreeSet::new();
    for entry in listing {
        assert_eq!(entry.path().parent().unwrap(), folder.path());
        assert_eq!(entry.file_type().unwrap().is_dir(), entry.file_name() == "inner");
        if entry.file_name() == "7" {
            assert_eq!(entry.metadata().await.unwrap_err().kind(), ErrorKind::NotFound);
        }
        names.insert(entry.file_name().to_owned());
    }
    assert_eq!(names.len(), 3001);
    assert_eq!(fs::read_dir("/no such folder").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[trio::test]
async fn a_walk_goes_everywhere_once_and_not_through_links() {
    let folder = TempDir::new().await.unwrap();
    let root = folder.path();
    let mut expected = BTreeSet::from([(root.clone(), 0)]);
    for outer in 0..30 {
        let inner = root.join(outer.to_string());
        inner.create_dir().await.unwrap();
        for number in 0..100 {
            expected.insert((inner.join(number.to_string()), 2));
            std::fs::write(inner.join(number.to_string()), "").unwrap();
        }
        expected.insert((inner, 1));
    }
    (&root / "again").symlink_to(&root).await.unwrap();
    expected.insert((&root / "again", 1));
    let mut walk = fs::walk(&root);
    let mut found = BTreeSet::new();
    loop {
        {
            // A call that is dropped in the middle loses nothing.
            let mut next = pin!(walk.next());
            if let Some(entry) = futures::FutureExt::now_or_never(next.as_mut()).flatten() {
                let entry = entry.unwrap();
                assert!(found.insert((entry.path(), entry.depth())));
            }
        }
        let Some(entry) = walk.next().await else { break };
        let entry = entry.unwrap();
        assert!(found.insert((entry.path(), entry.depth())));
    }
    assert_eq!(found, expected);
    assert!(walk.next().await.is_none());
    assert_eq!(fs::walk("/no such folder").next().await.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
}

// trio: _tests/test_path.py::test_globmethods
#[trio::test]
async fn patterns_find_names() {
    let folder = TempDir::new().await.unwrap();
    let root = folder.path();
    (&root / "foo").create_dir().await.unwrap();
    for name in ["foo/_bar.txt", "bar.txt", "bar.dat"] {
        (&root / name).write("").await.unwrap();
    }
    let (inner, outer) = (&root / "foo" / "_bar.txt", &root / "bar.txt");
    assert_eq!(root.glob("*.txt").await.unwrap(), std::slice::from_ref(&outer));
    assert_eq!(
        BTreeSet::from_iter(root.glob("**/*.txt").await.unwrap()),
        BTreeSet::from([inner.clone(), outer.clone()])
    );
    assert_eq!(BTreeSet::from_iter(root.rglob("*.txt").await.unwrap()), BTreeSet::from([inner, outer]));
}

#[trio::test]
async fn patterns_are_taken_as_such_and_folders_are_not() {
    let folder = TempDir::new().await.unwrap();
    let odd = folder.path() / "[a]*";
    odd.create_dir().await.unwrap();
    (&odd / ".hidden").write("").await.unwrap();
    assert_eq!(odd.glob("*").await.unwrap(), [&odd / ".hidden"]);
    assert_eq!(odd.glob("no*").await.unwrap(), Vec::<Path>::new());
    for wrong in ["", "/etc/*", "a**b/***"] {
        assert_eq!(odd.glob(wrong).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
    }
}
