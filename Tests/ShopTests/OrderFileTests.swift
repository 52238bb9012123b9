import FoundationEssentials
import FreshetTesting
import ShopEvents
import Testing

@testable import Shop

@Suite struct OrderFileTests {
    private static let demo = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Sources/Shop/DemoData/cdnow-sample-orders.csv").path

    @Test func `the demo data is the documented orders of the documented customers`() throws {
        var (orders, customers, declined, total) = (0, Set<String>(), 0, Int64(0))
        var file = try OrderFile(path: Self.demo)
        while let result = try file.next() {
            let order = try result.get()
            orders += 1
            customers.insert(order.customer.id)
            declined += order.paymentToken == "tok_declined" ? 1 : 0
            total += order.total
        }
        #expect((orders, customers.count, declined) == (6919, 2357, 138))

        let rows = try String(contentsOfFile: Self.demo, encoding: .utf8).split(separator: "\n").dropFirst()
        let cents = rows.map { Int64($0.split(separator: ",")[7].filter { $0 != "." }) ?? .min }
        #expect(total == cents.reduce(0, +))
    }

    @Test func `where the chunks are cut makes no difference`() throws {
        let seed = UInt64.random(in: 0...(.max))
        let row = "o-1,c-1,\"Zoë, \"\"李\"\"\r\nÅ\",z@example.com,1997-01-01T00:00:00Z,cd,2,29.33,USD,tok_visa"
        let csv =
            "\u{FEFF}\(header)\r\n\(row)\r\n\r\n\(row)\n"
            + ["o-2", "o-3\"", "o-4", "o-1", ""].map { row.replacing("o-1", with: $0) }.joined(
                separator: "\r\n")
        let json =
            "\u{FEFF}\n" + #"{"orderId":"o-1","customer":{"id":"c","name":"Zoë","email":""},"lines":[]}"#
            + "\r\n\n{"
        for text in [csv, json] {
            let bytes = Array(text.utf8)
            let whole = try orders(bytes)
            #expect(whole.count > 1)
            var random = Seeded(seed)
            for round in 0..<300 {
                let most = round == 0 ? 1 : Int.random(in: 1...60, using: &random)
                let parts = try orders(bytes) { Int.random(in: 1...most, using: &random) }
                #expect(parts == whole, "seed \(seed), round \(round)")
            }
        }
    }

    @Test func `a file that cannot be read is named with the reason`() {
        let missing = #expect(throws: OrderFileError.self) { try OrderFile(path: "/nonexistent/orders.csv") }
        #expect(missing?.description == "/nonexistent/orders.csv: No such file or directory")
        let folder = #expect(throws: OrderFileError.self) { try OrderFile(path: "/tmp") }
        #expect(folder?.description == "/tmp: Is a directory")
    }

    @Test func `a file that fails halfway hands out what came before`() throws {
        let row = "o-1,c-1,Ann,a@example.com,1997-01-01T00:00:00Z,cd,2,29.33,USD,tok_visa"
        let gone = OrderFileError.unreadable(path: "orders", reason: "Input/output error")
        var chunks = ["\(header)\n\(row)\n\(row.replacing("o-1", with: "o-2"))\n"]
        var file = try OrderFile(name: "orders") { () throws(OrderFileError) in
            guard let chunk = chunks.popLast() else { throw gone }
            return Array(chunk.utf8)
        }
        #expect(try file.next()?.get().orderId == "o-1")
        #expect(throws: gone) { try file.next() }
    }
}
