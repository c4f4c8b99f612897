//! Calls as Parquet: columns, compressed, through the crate's own column writers (no Arrow).

use std::{io::Write, mem, sync::Arc};

use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    column::writer::{ColumnWriter, ColumnWriterImpl},
    data_type::{ByteArray, DataType},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, Type},
};
use rastro_model::Segment;
use rastro_store::Label;

use super::{
    column::{COLUMNS, Column, Form, Rows, Value},
    time_text::TimeText,
};

/// Rows at which a row group is written. Readers work by row groups; this is the size that they are made for.
const GROUP_ROWS: usize = 1 << 20;

/// Bytes of arguments at which a row group is written early, so that memory stays bounded whatever containers print.
const GROUP_TEXT_BYTES: usize = 64 << 20;

/// Values that are handed to a column at once.
const BATCH: usize = 16 * 1024;

/// A Parquet file in the making.
pub(super) struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    /// Segments of the next row group: they are columns already.
    pending: Vec<Segment>,
    pending_rows: usize,
    pending_text_bytes: usize,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Writes to `output`; `dataset` and `index` go into the file's own metadata.
    pub(super) fn new(output: W, dataset: &str, index: &str) -> anyhow::Result<Self> {
        let metadata = [("rastro.dataset", dataset), ("rastro.index", index)];
        let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned())).to_vec();
        let mut properties = WriterProperties::builder()
            .set_created_by(format!("rastro {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(metadata));
        for column in COLUMNS {
            // Values that hardly repeat are small as differences from their neighbours, not as a dictionary.
            let encoding = match (column.name, column.form) {
                (_, Form::Time) | ("event_number", _) => Encoding::DELTA_BINARY_PACKED,
                (_, Form::TimeText) => Encoding::DELTA_BYTE_ARRAY,
                _ => continue,
            };
            let path = ColumnPath::from(column.name.to_owned());
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, encoding);
        }
        let file = SerializedFileWriter::new(output, Arc::new(schema()?), Arc::new(properties.build()))?;
        Ok(Self { file, pending: Vec::new(), pending_rows: 0, pending_text_bytes: 0 })
    }

    /// Takes the calls of a segment.
    pub(super) fn write(&mut self, segment: Segment, labels: &[Label]) -> anyhow::Result<()> {
        self.pending_rows += segment.calls.len();
        self.pending_text_bytes += segment.details.iter().map(|detail| detail.arguments.len()).sum::<usize>();
        self.pending.push(segment);
        if self.pending_rows >= GROUP_ROWS || self.pending_text_bytes >= GROUP_TEXT_BYTES {
            self.write_group(labels)?;
        }
        Ok(())
    }

    /// Completes the file and gives the output back.
    pub(super) fn finish(mut self, labels: &[Label]) -> anyhow::Result<W> {
        self.write_group(labels)?;
        Ok(self.file.into_inner()?)
    }

    fn write_group(&mut self, labels: &[Label]) -> anyhow::Result<()> {
        let segments = mem::take(&mut self.pending);
        self.pending_text_bytes = 0;
        if mem::take(&mut self.pending_rows) == 0 {
            return Ok(());
        }
        let rows: Vec<_> = segments.iter().map(|segment| Rows::new(segment, labels)).collect();
        let mut group = self.file.next_row_group()?;
        let mut columns = COLUMNS.iter();
        while let (Some(mut writer), Some(column)) = (group.next_column()?, columns.next()) {
            match writer.untyped() {
                ColumnWriter::Int64ColumnWriter(writer) => write_numbers(writer, column, &rows)?,
                ColumnWriter::ByteArrayColumnWriter(writer) => write_texts(writer, column, &rows)?,
                _ => anyhow::bail!("the column `{}` has a form that no writer is there for", column.name),
            }
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }
}

/// The file's schema: every column may lack a value.
fn schema() -> anyhow::Result<Type> {
    let fields = COLUMNS.iter().map(|column| {
        let (physical, logical) = match column.form {
            Form::Time => (Physical::INT64, LogicalType::timestamp(true, TimeUnit::NANOS)),
            Form::Unsigned => (Physical::INT64, LogicalType::integer(64, false)),
            Form::Signed => (Physical::INT64, LogicalType::integer(64, true)),
            Form::TimeText | Form::Text => (Physical::BYTE_ARRAY, LogicalType::String),
        };
        let field = Type::primitive_type_builder(column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(logical))
            .build()?;
        Ok(Arc::new(field))
    });
    let fields = fields.collect::<anyhow::Result<_>>()?;
    Ok(Type::group_type_builder("call").with_fields(fields).build()?)
}

/// Values of a column on their way into it, with a level (1 known, 0 unknown) for each row.
struct Batch<T> {
    values: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Batch<T> {
    fn new() -> Self {
        Self { values: Vec::with_capacity(BATCH), levels: Vec::with_capacity(BATCH) }
    }

    fn add<D: DataType<T = T>>(
        &mut self,
        value: Option<T>,
        writer: &mut ColumnWriterImpl<'_, D>,
    ) -> anyhow::Result<()> {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
        if self.levels.len() == BATCH { self.write(writer) } else { Ok(()) }
    }

    fn write<D: DataType<T = T>>(&mut self, writer: &mut ColumnWriterImpl<'_, D>) -> anyhow::Result<()> {
        writer.write_batch(&self.values, Some(&self.levels), None)?;
        self.values.clear();
        self.levels.clear();
        Ok(())
    }
}

fn write_numbers<D: DataType<T = i64>>(
    writer: &mut ColumnWriterImpl<'_, D>,
    column: &Column,
    segments: &[Rows<'_>],
) -> anyhow::Result<()> {
    let mut batch = Batch::new();
    for rows in segments {
        for call in 0..rows.len() {
            let value = match (column.value)(rows, call) {
                Value::Time(number) | Value::Signed(number) => Some(number),
                // The column says that its bits are unsigned.
                Value::Unsigned(number) => Some(number.cast_signed()),
                Value::Text(_) | Value::Unknown => None,
            };
            batch.add(value, writer)?;
        }
    }
    batch.write(writer)
}

fn write_texts<D: DataType<T = ByteArray>>(
    writer: &mut ColumnWriterImpl<'_, D>,
    column: &Column,
    segments: &[Rows<'_>],
) -> anyhow::Result<()> {
    let mut batch = Batch::new();
    let mut times = TimeText::default();
    for rows in segments {
        // Most texts are the text of the row before: the very same bytes of the segment's dictionary.
        let mut last: Option<(&str, ByteArray)> = None;
        for call in 0..rows.len() {
            let value = match (column.value)(rows, call) {
                Value::Text(text) => match &last {
                    Some((known, bytes)) if std::ptr::eq(*known, text) => Some(bytes.clone()),
                    _ => {
                        let bytes = ByteArray::from(text);
                        last = Some((text, bytes.clone()));
                        Some(bytes)
                    }
                },
                Value::Time(time_ns) => {
                    let mut text = Vec::with_capacity(34);
                    times.append(time_ns, "+0000", &mut text);
                    Some(ByteArray::from(text))
                }
                _ => None,
            };
            batch.add(value, writer)?;
        }
    }
    batch.write(writer)
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::{reader::FileReader, serialized_reader::SerializedFileReader},
        record::Field,
    };

    use super::*;
    use crate::commands::export::sample::{hostile_segment, label};

    #[test]
    fn what_is_written_reads_back() {
        let mut writer = ParquetWriter::new(Vec::new(), "shop", "shop-2022.03.31").unwrap();
        for _ in 0..20_000 {
            writer.write(hostile_segment(), &[label()]).unwrap();
        }
        let bytes = writer.finish(&[label()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.parquet");
        std::fs::write(&path, bytes).unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 60_000);
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        let cell = |row: usize, name: &str| {
            let columns: Vec<_> = rows[row].get_column_iter().collect();
            columns.iter().find(|(other, _)| *other == name).map(|(_, field)| (*field).clone()).unwrap()
        };
        for first in [0, 59_997] {
            assert_eq!(cell(first, "systemcall"), Field::ULong(23));
            assert_eq!(cell(first, "timestamp"), Field::Str("2022-03-31T18:13:16.977633722+0000".to_owned()));
            assert_eq!(cell(first, "process.name"), Field::Null);
            assert_eq!(cell(first + 1, "process.name"), Field::Str("a\n\"b\",\u{1b}[2J".to_owned()));
            assert_eq!(cell(first + 1, "return_value"), Field::Long(-110));
            assert_eq!(cell(first + 1, "latency"), Field::Null);
            assert_eq!(cell(first + 1, "label"), Field::Str("shell".to_owned()));
            assert_eq!(cell(first + 2, "latency"), Field::ULong(u64::MAX));
            assert_eq!(cell(first + 2, "return_value"), Field::Long(i64::MIN));
            assert_eq!(cell(first + 2, "systemcall"), Field::Null);
        }
    }

    #[test]
    fn a_group_is_written_when_its_texts_grow_large() {
        let mut writer = ParquetWriter::new(Vec::new(), "shop", "shop-2022.03.31").unwrap();
        let mut segment = hostile_segment();
        segment.details[0].arguments = "x".repeat(GROUP_TEXT_BYTES / 2);
        writer.write(segment.clone(), &[]).unwrap();
        assert_eq!(writer.file.flushed_row_groups().len(), 0);
        writer.write(segment, &[]).unwrap();
        assert_eq!(writer.file.flushed_row_groups().len(), 1);
        writer.finish(&[]).unwrap();
    }
}
