internal import FoundationEssentials
internal import FreshetSchema
internal import FreshetService

/// What `freshet schema export` has written: a folder, its AsyncAPI document, or one of its schemas.
struct ExportedSchemas {
    enum Content {
        case catalog(EventCatalog)
        case schema(JSONSchema)
    }
    let name: String
    let content: Content

    /// Reads it. Throws `badData`, with the file.
    init(at path: String) throws {
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        name = trimmed.split(separator: "/").last.map(String.init) ?? path
        var isFolder = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw ToolError(.badData, "\(path): there is no such file or folder")
        }
        if isFolder {
            content = .catalog(try Self.catalog(of: trimmed))
            return
        }
        let document = try Self.document(path)
        do throws(SchemaError) {
            content =
                document["asyncapi"] != nil
                ? .catalog(try EventCatalog(asyncAPI: document)) : .schema(try Self.schema(document))
        } catch { throw ToolError(.badData, "\(path): \(error)") }
    }

    private static func catalog(of folder: String) throws -> EventCatalog {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: folder) } catch {
            throw ToolError(.badData, "\(folder): cannot be read")
        }
        var schemas: [EventVersion: JSONSchema] = [:]
        for name in names.sorted() {
            guard let version = EventVersion(fileName: name) else { continue }
            do { schemas[version] = try schema(try document("\(folder)/\(name)")) } catch let error
                as SchemaError
            {
                throw ToolError(.badData, "\(folder)/\(name): \(error)")
            }
        }
        let document = names.contains("asyncapi.json") ? try document("\(folder)/asyncapi.json") : nil
        guard !schemas.isEmpty || document != nil else {
            throw ToolError(.badData, "\(folder): neither TYPE.vN.json nor asyncapi.json is there")
        }
        do { return try EventCatalog(schemas: schemas, asyncAPI: document) } catch {
            throw ToolError(.badData, "\(folder)/asyncapi.json: \(error)")
        }
    }

    private static func document(_ path: String) throws -> JSONValue {
        let bytes: [UInt8]
        do { bytes = Array(try Data(contentsOf: URL(filePath: path))) } catch {
            throw ToolError(.badData, "\(path): cannot be read")
        }
        if let fault = JSONSyntax.fault(in: bytes) { throw ToolError(.badData, "\(path): \(fault)") }
        do { return try JSONValue(parsing: bytes) } catch { throw ToolError(.badData, "\(path): \(error)") }
    }

    private static func schema(_ document: JSONValue) throws(SchemaError) -> JSONSchema {
        let marks: Set<String> = [
            "$schema", "type", "properties", "enum", "const", "items", "$ref", "anyOf", "oneOf",
        ]
        guard let keywords = document.object, !marks.isDisjoint(with: keywords.keys) else {
            throw SchemaError(.unreadable, "neither a JSON Schema nor an AsyncAPI document")
        }
        return JSONSchema(keywords)
    }
}
