import Freshet
import FreshetRecords
import FreshetTesting
import Testing

@Suite struct SettledTests {
    @Test func `what is settled in memory has its follow-ups in the log`() async throws {
        try await Scratch.with(.sqlite) { scratch in
            let memory = try InMemoryBroker()
            let records = try await ServiceRecords(
                scratch.open(), source: "invoices", migrations: [], on: memory.broker)
            let (orders, invoices) = (Topic("orders"), Topic("invoices"))
            let service = Subscription(to: orders, group: "invoice", on: memory.broker) {
                On(Noted.self) { note, delivery in
                    try await records.handle(delivery) { try $0.publish(note, to: invoices, key: note.text) }
                }
            }
            try await running(records.relay, service) {
                for number in 1...40 {
                    try await Publisher(to: orders, on: memory.broker).publish(
                        Event(Noted(text: "\(number)"), source: "test"))
                    try await memory.settled("invoice", of: orders)
                    var count = 0
                    for try await _ in memory.broker.history(of: invoices) { count += 1 }
                    #expect(count == number)
                }
            }
        }
    }
}
