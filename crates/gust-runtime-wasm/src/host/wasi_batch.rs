//! `wasi:keyvalue/batch@0.2.0-draft2`, linked by hand: one function of it has two shapes in the wild.
//!
//! `get-many` answers `list<tuple<string, option<list<u8>>>>` in Spin's contract and
//! `list<option<tuple<string, list<u8>>>>` in the proposal. The shape that the guest imports decides.

use wasmtime::{
    StoreContextMut,
    component::{
        Linker, Resource, ResourceAny, Val,
        types::{ComponentFunc, Type},
    },
};

use super::{
    View,
    kv::{Keys, Refusal, Store},
    view,
    wit::drafts::wasi::keyvalue::store::Error,
};
use crate::guest::Guest;

/// Bytes of values that one `get-many` answers: while they are passed on, each byte takes up 32 of ours.
const MANY_BYTES: usize = 4 << 20;

type Pairs = Vec<(String, Option<Vec<u8>>)>;

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut batch = linker.instance("wasi:keyvalue/batch@0.2.0-draft2")?;
    batch.func_new_async("get-many", |store, shape, given, answer| {
        Box::new(get_many(store, shape, given, answer))
    })?;
    batch.func_wrap_async(
        "set-many",
        |mut store: StoreContextMut<'_, Guest>,
         (bucket, pairs): (Resource<Store>, Vec<(String, Vec<u8>)>)| {
            Box::new(async move {
                let keys = many(&mut view(store.data_mut()), &bucket, pairs.len())?;
                Ok((keys.set_many(pairs).await.map_err(Error::from),))
            })
        },
    )?;
    batch.func_wrap_async(
        "delete-many",
        |mut store: StoreContextMut<'_, Guest>, (bucket, names): (Resource<Store>, Vec<String>)| {
            Box::new(async move {
                let keys = many(&mut view(store.data_mut()), &bucket, names.len())?;
                Ok((keys.delete_many(names).await.map_err(Error::from),))
            })
        },
    )
}

/// Counts one operation for each key.
fn many(view: &mut View<'_>, bucket: &Resource<Store>, count: usize) -> wasmtime::Result<Keys> {
    let keys = view.table.get(bucket)?.keys();
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let counter = &mut view.scope.meter.host.kv;
    *counter = counter.saturating_add(count);
    Ok(keys)
}

async fn get_many(
    mut store: StoreContextMut<'_, Guest>,
    shape: ComponentFunc,
    given: &[Val],
    answer: &mut [Val],
) -> wasmtime::Result<()> {
    let (Some(Val::Resource(bucket)), Some(Val::List(names))) = (given.first(), given.get(1))
    else {
        wasmtime::bail!("get-many takes a bucket and a list of keys");
    };
    let bucket: Resource<Store> = ResourceAny::try_into_resource(*bucket, &mut store)?;
    let keys = many(&mut view(store.data_mut()), &bucket, names.len())?;
    let paired = answers_pairs(&shape)?;
    let found = read(&keys, names).await;
    let found = found.map(|pairs| Some(Box::new(list(pairs, paired))));
    if let Some(slot) = answer.first_mut() {
        *slot = Val::Result(found.map_err(|refusal| Some(Box::new(refused(refusal)))));
    }
    Ok(())
}

async fn read(keys: &Keys, names: &[Val]) -> Result<Pairs, Refusal> {
    let mut pairs = Vec::with_capacity(names.len());
    let mut bytes = 0;
    for name in names {
        let Val::String(name) = name else {
            return Err(Refusal::Other("a key is not a string".to_owned()));
        };
        let value = keys.get(name).await?;
        bytes += value.as_ref().map_or(0, Vec::len);
        if bytes > MANY_BYTES {
            return Err(Refusal::Other(format!(
                "the values are more than one answer can carry, in bytes: {MANY_BYTES}"
            )));
        }
        pairs.push((name.clone(), value));
    }
    Ok(pairs)
}

/// Whether the guest wants each key with its value or without (else: neither where there is no value).
fn answers_pairs(shape: &ComponentFunc) -> wasmtime::Result<bool> {
    let Some(Type::Result(result)) = shape.results().next() else {
        wasmtime::bail!("get-many answers a result");
    };
    let Some(Type::List(list)) = result.ok() else {
        wasmtime::bail!("get-many answers a list");
    };
    match list.ty() {
        Type::Tuple(_) => Ok(true),
        Type::Option(_) => Ok(false),
        _ => wasmtime::bail!("get-many has a shape that is not known"),
    }
}

fn list(pairs: Pairs, paired: bool) -> Val {
    let bytes = |value: Vec<u8>| Val::List(value.into_iter().map(Val::U8).collect());
    let some = |value| Val::Option(Some(Box::new(value)));
    let items = pairs.into_iter().map(|(key, value)| match (paired, value) {
        (true, Some(value)) => Val::Tuple(vec![Val::String(key), some(bytes(value))]),
        (true, None) => Val::Tuple(vec![Val::String(key), Val::Option(None)]),
        (false, Some(value)) => some(Val::Tuple(vec![Val::String(key), bytes(value)])),
        (false, None) => Val::Option(None),
    });
    Val::List(items.collect())
}

fn refused(refusal: Refusal) -> Val {
    match Error::from(refusal) {
        Error::NoSuchStore => Val::Variant("no-such-store".to_owned(), None),
        Error::AccessDenied => Val::Variant("access-denied".to_owned(), None),
        Error::Other(why) => Val::Variant("other".to_owned(), Some(Box::new(Val::String(why)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_say_the_same() {
        let pairs = || vec![("a".to_owned(), Some(vec![1, 2])), ("b".to_owned(), None)];
        let key = |key: &str| Val::String(key.to_owned());
        let some = |value| Val::Option(Some(Box::new(value)));
        let bytes = Val::List(vec![Val::U8(1), Val::U8(2)]);
        let paired = Val::List(vec![
            Val::Tuple(vec![key("a"), some(bytes.clone())]),
            Val::Tuple(vec![key("b"), Val::Option(None)]),
        ]);
        assert_eq!(list(pairs(), true), paired);
        let proposed = Val::List(vec![
            some(Val::Tuple(vec![key("a"), bytes])),
            Val::Option(None),
        ]);
        assert_eq!(list(pairs(), false), proposed);
    }
}
