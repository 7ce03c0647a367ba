//! `fermyon:spin/sqlite` of Spin 1: connections are numbers.

use super::{
    View,
    sql::{self, Allowed, Refusal},
    wit::spin1::fermyon::spin::sqlite::{Error, Host, QueryResult, Value},
};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

sql::translate!(super::wit::spin1::fermyon::spin::sqlite);

impl Host for View<'_> {
    async fn open(&mut self, database: String) -> Answer<u32> {
        let opened = match Allowed::find(self, &database) {
            Ok(allowed) => allowed.connect().await,
            Err(refusal) => Err(refusal),
        };
        let numbered = &mut self.scope.host.spin1_databases;
        Ok(opened
            .map(|database| numbered.add(database))
            .map_err(Error::from))
    }

    async fn execute(
        &mut self,
        connection: u32,
        statement: String,
        parameters: Vec<Value>,
    ) -> Answer<QueryResult> {
        let Some(database) = self.scope.host.spin1_databases.get(connection) else {
            return Ok(Err(Refusal::InvalidConnection.into()));
        };
        let session = database.session();
        self.scope.meter.host.sql += 1;
        let table = session
            .collect(&statement, sql::parameters(parameters))
            .await;
        Ok(table.map(QueryResult::from).map_err(Error::from))
    }

    async fn close(&mut self, connection: u32) -> wasmtime::Result<()> {
        self.scope.host.spin1_databases.close(connection);
        Ok(())
    }
}
