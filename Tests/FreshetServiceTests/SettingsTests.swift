import ArgumentParser
import FoundationEssentials
import Freshet
import Hiredis
import Logging
import Testing

@testable import FreshetService

@Suite struct SettingsTests {
    /// Settings from lines of a file, and from an environment.
    private func settings(_ lines: String, _ environment: [String: String] = [:]) throws -> Settings {
        let path = try file(lines)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try Settings(file: path, environment: environment)
    }

    private func file(_ text: String) throws -> String {
        let path = "/tmp/freshet-settings-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        return path
    }

    private func problem(_ body: () throws -> Void) -> ToolError? {
        do { try body() } catch { return error as? ToolError }
        return nil
    }

    @Test
    func `a flag wins over the environment, that over the file, that over the default, and each is named`()
        throws
    {
        let lines = "# leases\n\nFRESHET_LEASE = 4 \nLOG_LEVEL=debug\n"
        let cases: [(String, flag: Double?, [String: String], Duration, origin: String)] = [
            (lines, 2, ["FRESHET_LEASE": "3"], .seconds(2), "flag --lease"),
            (lines, nil, ["FRESHET_LEASE": "3"], .seconds(3), "environment FRESHET_LEASE"),
            (lines, nil, ["FRESHET_LEASE": ""], .seconds(4), ":3"),
            ("FRESHET_LEASE=\n", nil, [:], .seconds(10), "default"),
        ]
        for (lines, flag, environment, expected, origin) in cases {
            let settings = try settings(lines, environment)
            let found = try settings.seconds("FRESHET_LEASE", .flag("--lease", flag), default: 10)
            let shown = try #require(settings.all.last)
            #expect(found == expected)
            #expect(shown.origin.description.hasSuffix(origin), "\(shown)")
        }
    }

    @Test func `a wrong value names the flag, the variable or the line`() throws {
        func lease(_ flag: String?, _ environment: [String: String], _ lines: String) -> ToolError? {
            problem {
                let settings = try self.settings(lines, environment)
                _ = try settings.seconds("FRESHET_LEASE", .flag("--lease", flag), default: 10)
            }
        }
        let byFlag = lease("0", [:], "")
        #expect(byFlag?.status == .usage && byFlag?.description.hasPrefix("--lease: '0'") == true)
        let byVariable = lease(nil, ["FRESHET_LEASE": "soon"], "")
        #expect(byVariable?.status == .badConfiguration)
        #expect(byVariable?.description.hasPrefix("FRESHET_LEASE: 'soon'") == true)
        let byLine = lease(nil, [:], "#\nFRESHET_LEASE=-1\n")
        #expect(byLine?.status == .badConfiguration)
        #expect(byLine?.description.contains(":2: FRESHET_LEASE: '-1'") == true, "\(byLine as Any)")
    }

    @Test(arguments: [
        ("REDIS_URL redis://:hush@h\n", ":1: not a line"), ("A=1\nexport B=2\n", ":2: not a line"),
        ("=3\n", ":1: not a line"), ("A=1\n\nA=2\n", ":3: A stands in line 1 already"),
    ])
    func `a line that is none is named, and never repeated`(lines: String, says: String) {
        let error = problem { _ = try settings(lines) }
        #expect(error?.status == .badConfiguration)
        #expect(error?.description.contains(says) == true, "\(error as Any)")
        #expect(error?.description.contains("hush") == false)
    }

    @Test func `a name that nobody asked for is misspelt`() throws {
        let settings = try settings(
            "FRESHET_LEASE=3\nREDIS_URL_FILE=/x\nFRESHET_LEASEE=3\n", ["REDIS_URL": "r"])
        _ = try settings.seconds("FRESHET_LEASE", default: 10)
        _ = try settings.url("REDIS_URL", default: "")
        let error = problem { try settings.refuseUnknownNames() }
        #expect(error?.status == .badConfiguration)
        #expect(error?.description.hasSuffix(":3: this program has no setting 'FRESHET_LEASEE'") == true)
        let missing = problem { _ = try Settings(file: "/none", environment: [:]) }
        #expect(missing?.description == "--config: cannot read '/none'")
    }

    @Test func `a secret stands in a file of its own, by the environment or by a line, and is not shown`()
        throws
    {
        let secret = try file("redis://ada:s3cret@host/0\nsecond line")
        defer { try? FileManager.default.removeItem(atPath: secret) }
        let byVariable = try settings("", ["REDIS_URL_FILE": secret])
        #expect(try byVariable.url("REDIS_URL", default: "") == "redis://ada:s3cret@host/0")
        #expect(byVariable.all.last?.value == "redis://ada:***@host/0")
        #expect(byVariable.all.last?.origin.description == "file \(secret)")
        let byLine = try settings("REDIS_PASSWORD_FILE=\(secret)")
        #expect(try byLine.secret("REDIS_PASSWORD") == "redis://ada:s3cret@host/0")
        #expect(byLine.all.last?.value == "***")
        let missing = problem {
            _ = try settings("", ["REDIS_PASSWORD_FILE": "/none"]).secret("REDIS_PASSWORD")
        }
        #expect(missing?.status == .badConfiguration)
        #expect(missing?.description.hasPrefix("REDIS_PASSWORD_FILE: cannot read '/none'") == true)
    }

    @Test(arguments: [
        ("redis://host:6379/1", "redis://host:6379/1"), ("redis://:hush@host", "redis://:***@host"),
        ("redis://ada:h@sh@host", "redis://ada:***@host"), ("redis://ada@host", "redis://ada@host"),
        (
            "redis+sentinel://u:hush@a,b/main?sentinel-password=hush&db=1",
            "redis+sentinel://u:***@a,b/main?sentinel-password=***&db=1"
        ),
        (
            "postgres://u:hu/sh?x@host/db?sslmode=require&password=hush",
            "postgres://u:***@host/db?sslmode=require&password=***"
        ),
        ("sqlite:order.db?synchronous=full", "sqlite:order.db?synchronous=full"),
    ])
    func `a URL is shown without its passwords`(url: String, shown: String) {
        #expect(Setting.withoutPasswords(url) == shown)
    }

    @Test func `a worker's settings all come from the file, and a URL that cannot be is named by its line`()
        throws
    {
        let lines = """
            REDIS_URL=redis://cache:6380
            DATABASE_URL=sqlite:x.db
            FRESHET_GROUP=billing
            FRESHET_NAMESPACE=shop
            FRESHET_CONSUMER=one
            FRESHET_CONCURRENCY=7
            FRESHET_ORDERING=perKey
            FRESHET_LEASE=3
            FRESHET_CONNECT_TIMEOUT=4
            FRESHET_DRAIN_TIMEOUT=5
            HTTP_PORT=0
            HTTP_HOST=::1
            LOG_LEVEL=warning
            LOG_FORMAT=json
            """
        let all = try settings(lines)
        let worker = try WorkerSettings(
            WorkerOptions.parse([]), all, defaults: WorkerDefaults(group: "invoice"))
        try all.refuseUnknownNames()
        #expect(worker.redis.displayName == "redis://cache:6380" && worker.databaseURL == "sqlite:x.db")
        #expect(worker.group == "billing" && worker.namespace == "shop" && worker.consumer == "one")
        #expect(worker.subscription.concurrency == 7 && worker.subscription.ordering == .perKey)
        #expect(worker.subscription.lease == .seconds(3) && worker.connectTimeout == .seconds(4))
        #expect(
            worker.drainTimeout == .seconds(5) && worker.logLevel == .warning && worker.logFormat == .json)
        #expect(worker.http == HTTPAddress(host: "::1", port: 0))
        #expect(all.all.filter { $0.origin.description.contains("file ") }.count == 14)
        let error = problem {
            _ = try WorkerSettings(
                WorkerOptions.parse([]), settings("\nREDIS_URL=redis://:hush@host:port"),
                defaults: WorkerDefaults(group: "invoice"))
        }
        #expect(error?.status == .badConfiguration)
        #expect(error?.description.contains(":2: REDIS_URL: ") == true, "\(error as Any)")
        #expect(error?.description.contains("hush") == false)
    }
}
