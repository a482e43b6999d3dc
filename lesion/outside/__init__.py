"""The one way in for files from outside: regular, of bounded size, UTF-8, of bounded depth, no key twice.

`files` gives bytes and text, `documents` JSON and JSON lines, `tables` Parquet. YAML is read by
`lesion.study.format.yaml_reader` from the bytes that `files` gives. A test looks for reads that go round these.
"""
