public import FreshetSchema
internal import Freshet
package import ServiceLifecycle

extension Worker {
    /// Prints a contract, as `--describe` of every worker does. For programs that publish and are no worker. Throws `usage` when there
    /// is none.
    public static func describe(_ contract: ServiceContract?) throws {
        guard let contract else { throw ToolError(.usage, "this program has no contract to describe") }
        StandardOutput.write(try OutputOptions.json(try contract.described(), pretty: true))
    }
}

extension ServiceContract {
    /// Throws `badConfiguration` when the subscriptions among these have other handlers than the contract says.
    package func hold(against services: [any Service]) throws(ToolError) {
        var handled: [TopicName: [EventType: Int]] = [:]
        for case let subscription as Subscription in services {
            handled[subscription.topic.name, default: [:]].merge(subscription.handledVersions) { $1 }
        }
        if let difference = difference(from: handled) {
            throw ToolError(.badConfiguration, "contract: \(difference)")
        }
    }
}
