#!/bin/sh
# What api/ promises: the reference is current, a kind is one file, mistakes are told.
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
count=0

check() { # check NAME COMMAND...
	name=$1
	shift
	count=$((count + 1))
	if said=$("$@" 2>&1); then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		echo "$said" | sed 's/^/# /'
	fi
}

compiles() {
	tools/gen-schema c "$work/api" "$work/kinds.c" && cc -std=gnu17 -Wall -Wextra -Werror -Isrc -fsyntax-only \
		"$work/kinds.c" && grep -q '^const struct kind kind_widget = ' "$work/kinds.c"
}

complains() { # complains ABOUT: the last field of the widget is wrong
	! tools/gen-schema c "$work/api" "$work/kinds.c" > "$work/said" 2>&1 && cat "$work/said" && grep -q "$1" "$work/said"
}

widget() { # widget FIELDS
	cat > "$work/api/widget.yaml" <<-END
		kind: Widget
		group: example.com
		version: v1
		plural: widgets
		singular: widget
		namespaced: true
		columns:
		  - {name: Name, type: string, path: ".metadata.name"}
		fields:
		  metadata: {type: ObjectMeta, required: true}
		  spec: {type: WidgetSpec}
		types:
		  WidgetSpec:
		    size: {type: integer, default: 3, min: 1, max: 5}
		    template: {type: PodTemplateSpec}
		    $1
	END
}

cp -r api "$work/api"
check "docs/reference is what tools/gen-schema makes of api/" tools/gen-schema check api docs/reference
widget 'names: {type: "[]string", values: [a, b], set: true}'
check "a kind is added by one file" compiles
widget 'other: {type: Gadget}'
check "a type that is not there is named" complains "WidgetSpec.other: type Gadget is not defined"
widget 'other: {type: string, requried: true}'
check "a word that means nothing is named" complains "WidgetSpec.other: requried is not known"
widget 'other: {type: string, format: uuid}'
check "a format that is not there is named" complains "WidgetSpec.other: format uuid is not known"
echo "1..$count"
