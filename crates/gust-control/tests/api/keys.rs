//! Access keys: made, shown once, sealed, and ended.

use gust_backend::keys::Keys as _;
use gust_control::Settings;
use gust_types::{Kind, ProjectName};

use crate::harness::{Node, all_bytes, node, open, project};

fn holds(node: &Node, id: &str, secret: Option<&str>) {
    let found = node.control.find(id).map(|key| key.secret);
    assert_eq!(found.as_deref(), secret);
}

#[tokio::test]
async fn a_key_is_good_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let made = {
        let node = open(folder.path(), Settings::default()).await;
        let made = node.client.create_access_key(&project(), "我的").await;
        let made = made.unwrap();
        assert!(
            made.id.len() == 20 && made.id.starts_with("GUST"),
            "{}",
            made.id
        );
        assert!(!format!("{made:?}").contains(&made.secret));
        holds(&node, &made.id, Some(&made.secret));
        assert_eq!(node.control.find(&made.id).unwrap().project, project());
        let listed = node.client.access_keys(&project()).await.unwrap().keys;
        assert_eq!((&*listed[0].id, &*listed[0].note), (&*made.id, "我的"));
        made
    };
    // On the disk it is sealed.
    for (path, bytes) in all_bytes(folder.path()) {
        let secret = made.secret.as_bytes();
        let leaks = bytes.windows(secret.len()).any(|w| w == secret);
        assert!(!leaks, "{}", path.display());
    }
    let node = open(folder.path(), Settings::default()).await;
    holds(&node, &made.id, Some(&made.secret));
    let other = ProjectName::new("other").unwrap();
    node.client.create_project(&other).await.unwrap();
    // It is not another project's to remove.
    let refused = node.client.remove_access_key(&other, &made.id).await;
    assert_eq!(refused.unwrap_err().kind, Kind::NotFound);
    assert!(
        node.client
            .access_keys(&other)
            .await
            .unwrap()
            .keys
            .is_empty()
    );
    node.client
        .remove_access_key(&project(), &made.id)
        .await
        .unwrap();
    holds(&node, &made.id, None);
    let again = node.client.remove_access_key(&project(), &made.id).await;
    assert_eq!(again.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn keys_go_with_their_project_and_are_bounded() {
    let node = node().await;
    let other = ProjectName::new("other").unwrap();
    let nobody = node.client.create_access_key(&other, "").await;
    assert_eq!(nobody.unwrap_err().kind, Kind::NotFound);
    node.client.create_project(&other).await.unwrap();
    let made = node.client.create_access_key(&other, "").await.unwrap();
    node.client.remove_project(&other).await.unwrap();
    holds(&node, &made.id, None);
    node.client.create_project(&other).await.unwrap();
    assert!(
        node.client
            .access_keys(&other)
            .await
            .unwrap()
            .keys
            .is_empty()
    );
    for note in ["a\nb", &"x".repeat(101)] {
        let refused = node.client.create_access_key(&other, note).await;
        assert_eq!(refused.unwrap_err().kind, Kind::Invalid);
    }
    for _ in 0..100 {
        node.client.create_access_key(&other, "").await.unwrap();
    }
    let refused = node.client.create_access_key(&other, "").await;
    assert_eq!(refused.unwrap_err().kind, Kind::Exhausted);
}
