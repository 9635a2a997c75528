package intent

import (
	"fmt"
	"strings"
)

//go:generate go run ./referencegen ../../docs/reference/annotations.md

// shortened is left out of keys on the reference page; every key but ours has it.
const shortened = "service.beta.kubernetes.io/"

const referenceHead = `# Annotations of Services

<!-- Generated from the table in internal/intent that the parser works by: go generate ./internal/intent -->

Every annotation that the controller knows. Keys that begin with ` + "`aws-load-balancer-`, `load-balancer-` or `actions.`" + ` are
written with ` + "`" + shortened + "`" + ` before them:

` + "```yaml" + `
metadata:
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-type: nlb
    fairlead.io/allow-replacement: "true"
` + "```" + `

Lists are separated by commas; a comma inside the value of a key=value pair is written ` + "`\\,`" + `. Everything that is wrong with a
Service stands in one event and in its condition Accepted, with the value that was probably meant. An unknown key under these
prefixes, and one that has no effect, is warned about. While a Service is wrong, its load balancer stays as it is.
`

// Reference is the page about all annotations, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, s := range sections() {
		fmt.Fprintf(&b, "\n## %s\n\n", s.title)
		b.WriteString("| Annotation | Value | Default | Applies to | Changing it on a live load balancer | Example |\n|---|---|---|---|---|---|\n")
		for _, a := range s.rows {
			if !a.internal {
				line(&b, code(a.label()), a.Value, a.Default, string(a.Kinds), a.Change, code(a.Example))
			}
		}
	}
	b.WriteString("\n## Refused\n\nA Network Load Balancer with one of these would not be what the Service asks for, so the Service is not served until it is removed.\n\n| Annotation | Why | Instead |\n|---|---|---|\n")
	for _, a := range refusedRows() {
		line(&b, code(a.label()), a.refused, a.instead)
	}
	return b.String()
}

// label is the key as the page shows it.
func (a Annotation) label() string {
	key := strings.TrimPrefix(a.Key, shortened)
	if a.Ported {
		key += "." + a.Suffix
	}
	return key
}

func line(b *strings.Builder, cells ...string) {
	for _, c := range cells {
		if c == "" {
			c = "–"
		}
		fmt.Fprintf(b, "| %s ", strings.ReplaceAll(c, "|", `\|`))
	}
	b.WriteString("|\n")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
