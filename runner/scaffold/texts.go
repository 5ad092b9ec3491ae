package scaffold

// The files of a new project that are the same for everybody but for a name.

const systemHead = `# yaml-language-server: $schema=schema/system.json
# What squall may touch, and how to start it: squall explain system.
apiVersion: squall/v1
kind: System
metadata: {name: %s}
spec:
  target: process

  # ${self.http} is host:port of a free port that squall picks for the service.
  # A program with a slash is looked up beside this file.
  services:
`

const composeHead = `# yaml-language-server: $schema=schema/system.json
# What squall may touch: your compose project, under a name of its own. Services and
# edges were guessed from the compose files: look at them. squall explain system.
apiVersion: squall/v1
kind: System
metadata: {name: %s}
spec:
  target: compose
  compose: {files: %s}

  # at: its ports inside the container, by names that edges use.
  services:
`

const edgesHead = `
  # Who calls whom. Squall puts a proxy on each edge and tells the caller its
  # address (http://host:port) in this variable. The client is the load.
  edges:
`

const sloText = `# What users may expect, as OpenSLO has it. Scenarios name it, and give the window.
apiVersion: openslo/v1
kind: SLO
metadata: {name: requests, displayName: Requests are answered}
spec:
  service: all
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: requests}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(squall_operations_total{operation="request",outcome="ok"})'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(squall_operations_total{operation="request"})'}}}
  objectives: [{target: 0.99}]
`

const scriptText = `// Users come at the rate that the scenario asks for, whether or not the system keeps up (open model).
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    requests: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES), // the scenario's arrival, and its stages
      // One virtual user per request under way; enough for some seconds of silence.
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) * 7),
      gracefulStop: '1s',
    },
  },
};

export default function () {
  const op = operation('request');
  // Yours: what a user does.
  const res = http.get(` + "`${__ENV.{{.Env}}}/`" + `, { headers: op.headers(), tags: { name: 'request' }, timeout: '5s' });
  // Nothing was changed, so an error is a failure. Where something might have been
  // done though the reply was lost, say op.unknown().
  if (res.status === 200) op.ok();
  else op.failed(res.error || ` + "`${res.status}`" + `);
}
`

const settingsText = `{
  "yaml.schemas": {
    "squall/schema/scenario.json": "squall/scenarios/**/*.yaml",
    "squall/schema/gameday.json": "squall/gamedays/**/*.yaml",
    "squall/schema/system.json": "squall/system.yaml"
  }
}
`
