// swift-tools-version:6.2
import PackageDescription

// One set of rules for every target: see ARCHITECTURE.md, "House rules".
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let tracing = Target.Dependency.product(name: "Tracing", package: "swift-distributed-tracing")
let inMemoryTracing = Target.Dependency.product(name: "InMemoryTracing", package: "swift-distributed-tracing")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
// The C library that GRDB is built on.
let sqlite = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func executable(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .executableTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

let package = Package(
    name: "freshet",
    products: [
        .library(name: "Hiredis", targets: ["Hiredis"]),
        .library(name: "Freshet", targets: ["Freshet"]),
        .library(name: "FreshetRecords", targets: ["FreshetRecords"]),
        .library(name: "FreshetReplay", targets: ["FreshetReplay"]),
        .library(name: "FreshetSchema", targets: ["FreshetSchema"]),
        .library(name: "FreshetService", targets: ["FreshetService"]),
        .library(name: "FreshetTesting", targets: ["FreshetTesting"]),
        .executable(name: "order-worker", targets: ["OrderWorker"]),
        .executable(name: "customer-worker", targets: ["CustomerWorker"]),
        .executable(name: "payment-worker", targets: ["PaymentWorker"]),
        .executable(name: "replay", targets: ["Replay"]),
        .executable(name: "freshet", targets: ["FreshetCLI"]),
        .executable(name: "shop", targets: ["Shop"]),
        .executable(name: "bench", targets: ["Bench"]),
        .executable(name: "soak", targets: ["Soak"]),
        .executable(name: "tested-on", targets: ["TestedOn"]),
        .executable(name: "floor-bench", targets: ["FloorBench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-log.git", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.7.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.5.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.9.0"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.8.0"),
    ],
    targets: [
        // No pkgConfig: Debian's hiredis.pc has -D_FILE_OFFSET_BITS=64, which SwiftPM warns about on every build.
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .target(
            name: "CHiredisShims", dependencies: ["CHiredis"],
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("hiredis"), .linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        library("Hiredis", ["CHiredis", "CHiredisShims", deque, logging, metrics, tracing]),
        library("Freshet", ["Hiredis", deque, logging, metrics, tracing, lifecycle]),
        // As for hiredis: Debian's header has a folder of its own, which the module's header knows.
        .systemLibrary(name: "CPostgreSQL", providers: [.apt(["libpq-dev"])]),
        library("FreshetRecords", ["Freshet", "Hiredis", "CPostgreSQL", grdb, sqlite, logging, lifecycle]),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        library("FreshetReplay", ["Freshet", "Hiredis", "CZstd", "COpenSSL", logging]),
        library("FreshetSchema", ["Freshet"]),
        // libcurl sends traces: beside libpq, which brings most of what it needs, it adds 1.6 MB to an image and 6 ms to a start, and
        // nothing to a build; async-http-client would add minutes to each first build.
        .target(
            name: "CCurlShims",
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("curl")]),
        library(
            "FreshetService",
            [
                "Freshet", "FreshetRecords", "FreshetReplay", "FreshetSchema", "Hiredis", "CCurlShims",
                lifecycle,
                signals, logging, metrics, tracing, arguments,
            ]),
        library(
            "FreshetTesting",
            ["Freshet", "Hiredis", "CLuaShims", inMemoryTracing, logging, tracing, lifecycle]),
        // The in-memory broker runs the scripts that a server would: on the same Lua, 5.1.
        .target(
            name: "CLuaShims",
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("lua5.1")]),
        library("ShopEvents", ["Freshet", "FreshetSchema"]),
        executable(
            "OrderWorker",
            ["ShopEvents", "Freshet", "FreshetRecords", "FreshetSchema", "FreshetService", arguments]),
        executable(
            "CustomerWorker",
            ["ShopEvents", "Freshet", "FreshetRecords", "FreshetSchema", "FreshetService", arguments]),
        executable(
            "PaymentWorker",
            ["ShopEvents", "Freshet", "FreshetRecords", "FreshetSchema", "FreshetService", arguments]),
        executable(
            "Replay",
            ["FreshetRecords", "FreshetReplay", "FreshetService", "Freshet", "Hiredis", arguments, metrics]),
        executable(
            "FreshetCLI",
            [
                "FreshetRecords", "FreshetReplay", "FreshetSchema", "FreshetService", "Freshet", "Hiredis",
                arguments,
            ]),
        executable(
            "Shop",
            [
                "ShopEvents", "Freshet", "FreshetRecords", "FreshetReplay", "FreshetSchema", "FreshetService",
                "FreshetTesting", "Hiredis", arguments, logging, signals,
            ],
            // Given by path: a resource would need Foundation's Bundle to be found again.
            exclude: ["DemoData"]),
        executable(
            "Bench",
            [
                "Workbench", "Freshet", "FreshetRecords", "FreshetReplay", "FreshetService", "Hiredis",
                "FreshetTesting", "ShopEvents", arguments, logging, tracing,
            ]),
        library("Workbench", [arguments, signals]),
        executable(
            "Soak",
            [
                "Workbench", "Freshet", "FreshetRecords", "FreshetReplay", "FreshetService", "Hiredis",
                "FreshetTesting", arguments, lifecycle, logging, signals,
            ]),
        executable("TestedOn", ["FreshetTesting", "Hiredis"]),
        // What the client is measured against: the usual C program on plain hiredis, and on sqlite3.
        .executableTarget(
            name: "FloorBench", dependencies: ["CHiredis"],
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("hiredis"), .linkedLibrary("sqlite3")]),
        tests(
            "HiredisTests",
            [
                "Hiredis", "FreshetTesting", logging,
                inMemoryTracing,
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "InMemoryLogging", package: "swift-log"),
                metrics, tracing,
            ]),
        tests(
            "FreshetTests",
            ["Freshet", "Hiredis", "FreshetTesting", inMemoryTracing, lifecycle, logging, tracing]),
        tests("FreshetInspectingTests", ["Freshet", "Hiredis", "FreshetTesting", lifecycle, logging]),
        tests(
            "FreshetRecordsTests",
            [
                "FreshetRecords", "FreshetService", "Freshet", "Hiredis", "FreshetTesting", lifecycle,
                inMemoryTracing, logging,
                .product(name: "InMemoryLogging", package: "swift-log"),
            ]),
        tests(
            "FreshetReplayTests",
            ["FreshetReplay", "Freshet", "Hiredis", "FreshetTesting", lifecycle, logging]),
        tests("FreshetSchemaTests", ["FreshetSchema", "ShopEvents", "Freshet", "FreshetTesting"]),
        tests(
            "FreshetServiceTests",
            [
                "FreshetService", "FreshetRecords", "FreshetReplay", "FreshetSchema", "Freshet",
                "FreshetTesting", "Hiredis", .product(name: "InMemoryLogging", package: "swift-log"),
                arguments, lifecycle, logging, metrics, tracing,
            ]),
        tests("FreshetTestingTests", ["FreshetTesting", "Hiredis"]),
        tests(
            "FreshetToolsTests",
            ["Freshet", "FreshetRecords", "Hiredis", "FreshetTesting", lifecycle, logging]),
        tests("ShopEventsTests", ["ShopEvents", "Freshet"]),
        tests("ShopTests", ["Shop", "ShopEvents", "FreshetTesting"]),
        tests("EndToEndTests", ["Freshet", "FreshetRecords", "Hiredis", "FreshetTesting", grdb]),
    ]
)
