//! `wasi:blobstore@0.2.0-draft`: a container is a bucket that the manifest gives the function.

use gust_backend::blob::Object;
use wasmtime::component::Resource;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::{
    View,
    blobs::{self, Container, Refusal, incoming::Incoming, names::Names, outgoing::Outgoing},
    wit::blobs::wasi::blobstore::{
        blobstore,
        container::{self, HostContainer, HostStreamObjectNames},
        types::{
            self, ContainerMetadata, HostIncomingValue, HostOutgoingValue, ObjectId, ObjectMetadata,
        },
    },
};

/// An error of the interface is a text.
type Answer<T> = wasmtime::Result<Result<T, String>>;

fn told<T>(answer: Result<T, Refusal>) -> Answer<T> {
    Ok(answer.map_err(|Refusal(why)| why))
}

impl View<'_> {
    fn open_container(&mut self, name: &str) -> Answer<Resource<Container>> {
        match Container::open(self, name) {
            Ok(container) => Ok(Ok(self.table.push(container)?)),
            Err(Refusal(why)) => Ok(Err(why)),
        }
    }

    async fn copy(&mut self, from: &ObjectId, to: &ObjectId) -> Result<Object, Refusal> {
        let source = blobs::bucket(self, &from.container)?;
        let target = blobs::bucket(self, &to.container)?;
        if is_same(from, to) {
            return blobs::object(&*source, &from.object).await;
        }
        blobs::copy((&*source, &from.object), (&*target, &to.object)).await
    }

    async fn move_object(&mut self, from: &ObjectId, to: &ObjectId) -> Result<(), Refusal> {
        let moved = self.copy(from, to).await?;
        if is_same(from, to) {
            return Ok(());
        }
        blobs::delete_this(&*blobs::bucket(self, &from.container)?, &from.object, moved).await
    }
}

fn is_same(one: &ObjectId, other: &ObjectId) -> bool {
    (&one.container, &one.object) == (&other.container, &other.object)
}

impl blobstore::Host for View<'_> {
    /// It comes to be with its first object: there is nothing to do but to open it.
    async fn create_container(&mut self, name: String) -> Answer<Resource<Container>> {
        self.open_container(&name)
    }

    async fn get_container(&mut self, name: String) -> Answer<Resource<Container>> {
        self.open_container(&name)
    }

    /// An empty one is gone by itself; one with objects in it stays.
    async fn delete_container(&mut self, name: String) -> Answer<()> {
        let bucket = match blobs::bucket(self, &name) {
            Ok(bucket) => bucket,
            Err(Refusal(why)) => return Ok(Err(why)),
        };
        told(blobs::is_empty(&*bucket).await.and_then(|empty| {
            let full = || {
                Refusal(format!(
                    "the container is not empty: {name} (clear it first)"
                ))
            };
            empty.then_some(()).ok_or_else(full)
        }))
    }

    async fn container_exists(&mut self, name: String) -> Answer<bool> {
        told(blobs::bucket(self, &name).map(|_| true))
    }

    async fn copy_object(&mut self, src: ObjectId, dest: ObjectId) -> Answer<()> {
        told(self.copy(&src, &dest).await.map(drop))
    }

    async fn move_object(&mut self, src: ObjectId, dest: ObjectId) -> Answer<()> {
        told(View::move_object(self, &src, &dest).await)
    }
}

impl container::Host for View<'_> {}

impl HostContainer for View<'_> {
    async fn name(&mut self, container: Resource<Container>) -> Answer<String> {
        Ok(Ok(self.table.get(&container)?.name.clone()))
    }

    /// When it was made is not kept.
    async fn info(&mut self, container: Resource<Container>) -> Answer<ContainerMetadata> {
        let name = self.table.get(&container)?.name.clone();
        Ok(Ok(ContainerMetadata {
            name,
            created_at: 0,
        }))
    }

    async fn get_data(
        &mut self,
        container: Resource<Container>,
        name: String,
        start: u64,
        end: u64,
    ) -> Answer<Resource<Incoming>> {
        let bucket = self.table.get(&container)?.bucket.clone();
        let place = match Incoming::place(self) {
            Ok(place) => place,
            Err(Refusal(why)) => return Ok(Err(why)),
        };
        match Incoming::find(&*bucket, &name, (start, end), place).await {
            Ok(value) => Ok(Ok(self.table.push(value)?)),
            Err(Refusal(why)) => Ok(Err(why)),
        }
    }

    async fn write_data(
        &mut self,
        container: Resource<Container>,
        name: String,
        value: Resource<Outgoing>,
    ) -> Answer<()> {
        let bucket = self.table.get(&container)?.bucket.clone();
        told(self.table.get_mut(&value)?.put(bucket, name).await)
    }

    async fn list_objects(&mut self, container: Resource<Container>) -> Answer<Resource<Names>> {
        let bucket = self.table.get(&container)?.bucket.clone();
        match Names::new(self, bucket) {
            Ok(names) => Ok(Ok(self.table.push(names)?)),
            Err(Refusal(why)) => Ok(Err(why)),
        }
    }

    async fn delete_object(&mut self, container: Resource<Container>, name: String) -> Answer<()> {
        self.delete_objects(container, vec![name]).await
    }

    async fn delete_objects(
        &mut self,
        container: Resource<Container>,
        names: Vec<String>,
    ) -> Answer<()> {
        let bucket = self.table.get(&container)?.bucket.clone();
        told(blobs::delete(&bucket, names).await)
    }

    async fn has_object(&mut self, container: Resource<Container>, name: String) -> Answer<bool> {
        let bucket = self.table.get(&container)?.bucket.clone();
        let found = bucket.head(&name).await.map_err(Refusal::from);
        told(found.map(|found| found.is_some()))
    }

    async fn object_info(
        &mut self,
        container: Resource<Container>,
        name: String,
    ) -> Answer<ObjectMetadata> {
        let container = self.table.get(&container)?;
        let (bucket, container) = (container.bucket.clone(), container.name.clone());
        let object = blobs::object(&*bucket, &name).await;
        told(object.map(|object| ObjectMetadata {
            name,
            container,
            created_at: object.modified_us / 1_000_000,
            size: object.size,
        }))
    }

    async fn clear(&mut self, container: Resource<Container>) -> Answer<()> {
        let bucket = self.table.get(&container)?.bucket.clone();
        told(blobs::clear(&bucket).await)
    }

    async fn drop(&mut self, container: Resource<Container>) -> wasmtime::Result<()> {
        self.table.delete(container)?;
        Ok(())
    }
}

impl HostStreamObjectNames for View<'_> {
    async fn read_stream_object_names(
        &mut self,
        names: Resource<Names>,
        len: u64,
    ) -> Answer<(Vec<String>, bool)> {
        told(self.table.get_mut(&names)?.read(len).await)
    }

    async fn skip_stream_object_names(
        &mut self,
        names: Resource<Names>,
        num: u64,
    ) -> Answer<(u64, bool)> {
        told(self.table.get_mut(&names)?.skip(num).await)
    }

    async fn drop(&mut self, names: Resource<Names>) -> wasmtime::Result<()> {
        self.table.delete(names)?;
        Ok(())
    }
}

impl types::Host for View<'_> {}

impl HostOutgoingValue for View<'_> {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<Outgoing>> {
        let value = Outgoing::new(self);
        Ok(self.table.push(value)?)
    }

    async fn outgoing_value_write_body(
        &mut self,
        value: Resource<Outgoing>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        match self.table.get_mut(&value)?.stream() {
            Some(stream) => Ok(Ok(self.table.push_child(stream, &value)?)),
            None => Ok(Err(())),
        }
    }

    async fn finish(&mut self, value: Resource<Outgoing>) -> Answer<()> {
        told(self.table.delete(value)?.finish().await)
    }

    async fn drop(&mut self, value: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

impl HostIncomingValue for View<'_> {
    async fn incoming_value_consume_sync(&mut self, value: Resource<Incoming>) -> Answer<Vec<u8>> {
        told(self.table.delete(value)?.all().await)
    }

    async fn incoming_value_consume_async(
        &mut self,
        value: Resource<Incoming>,
    ) -> Answer<Resource<DynInputStream>> {
        let stream = self.table.delete(value)?.stream();
        Ok(Ok(self.table.push(stream)?))
    }

    async fn size(&mut self, value: Resource<Incoming>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&value)?.size)
    }

    async fn drop(&mut self, value: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}
