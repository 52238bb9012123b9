internal import Freshet
internal import Hiredis

/// With an order each partition has one owner at a time, and the owners' commits follow each other.
struct OwnerChecks: Sendable {
    let history: History
    let services: [String: ServiceState]
    let inOrder: Bool

    func run() -> [Check] {
        services.sorted { $0.key < $1.key }.flatMap { service, state -> [Check] in
            guard let owned = state.owned, !owned.isEmpty else { return [] }
            return [owners(service, owned)] + (inOrder ? [order(service, owned)] : [])
        }
    }

    /// An owner of an earlier epoch has committed nothing after one of a later epoch.
    private func owners(_ service: String, _ owned: [ServiceState.Owned]) -> Check {
        var (newest, epochs): ([String: Int64], Set<String>) = ([:], [])
        var offenders: [String] = []
        for effect in owned {
            epochs.insert("\(effect.log) \(effect.epoch)")
            if let last = newest[effect.log], effect.epoch < last {
                offenders.append("\(effect.event) by owner \(effect.epoch) of \(effect.log) after \(last)")
            } else {
                newest[effect.log] = effect.epoch
            }
        }
        return .of(
            "owners", "the owners of each partition committed one after the other in '\(service)'",
            offenders: offenders, otherwise: "\(owned.count) events by \(epochs.count) owners")
    }

    /// The events of one key were handled in the order of the log.
    private func order(_ service: String, _ owned: [ServiceState.Owned]) -> Check {
        var places: [String: [History.Key: StreamPlace]] = [:]
        for (topic, entries) in history.places {
            for (id, key) in entries {
                // The first place counts: an outbox may have published it twice.
                let place = StreamPlace(id: id, key: history.keys[key])
                let known = places[topic.rawValue]?[key]
                if known.map({ id < $0.id }) ?? true { places[topic.rawValue, default: [:]][key] = place }
            }
        }
        var last: [String: (place: StreamPlace, commit: Int64)] = [:]
        var offenders: [String] = []
        for effect in owned {
            let topic = String(effect.log.prefix { $0 != ":" })
            guard let place = places[topic]?[effect.event], let key = place.key else { continue }
            let name = "\(effect.log) \(key)"
            if let before = last[name], place.id < before.place.id || effect.commit == before.commit {
                offenders.append("\(effect.event)")
            }
            last[name] = (place, effect.commit)
        }
        return .of(
            "owners", "the events of each key were handled in the order of the log in '\(service)'",
            offenders: offenders, otherwise: "\(last.count) keys")
    }
}

/// Where an event stands in its log, and under which key.
private struct StreamPlace {
    let id: StreamID
    let key: String?
}
